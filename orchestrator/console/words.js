// Figures in words, and what is well and what is not: from the state as it came to what is to be shown of it.

export const OLD_MS = 6000; // three times that the page or a gatekeeper was silent

const SIGNS = { up: "●", suspect: "▲", down: "✕", disputed: "◆", silent: "?" };
const LEVELS = { up: "good", suspect: "warn", down: "bad", disputed: "warn", silent: "stale" };

export const rate = (number) => (number === null ? "–" : `${number < 10 ? number.toFixed(1) : Math.round(number)} /s`);
export const ms = (number) => (number === null ? "–" : `${number < 10 ? number.toFixed(2) : number.toFixed(1)} ms`);
export const percent = (number) => (number === null ? "–" : `${(number * 100).toFixed(number < 0.1 ? 1 : 0)} %`);
export const count = (number) => String(number);

export function ago(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  return seconds < 120 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`;
}

export function condition(state) {
  return { text: `${SIGNS[state] ?? "?"} ${state}`, level: LEVELS[state] ?? "warn" };
}

export function nodeCondition(node) {
  if (node.age_ms <= OLD_MS) return condition(node.state);
  return { text: `? ${node.state} ${ago(node.age_ms)}`, level: "stale" };
}

export function serviceCondition(ageMs, workers) {
  if (ageMs > OLD_MS || workers === 0) return { text: `? silent, heard ${ago(ageMs)}`, level: "bad" };
  return { text: "● answers", level: "good" };
}

// The one sentence at the top, and how bad it is. Screen readers hear it when it changes.
export function headline(state) {
  const silent = state.proxies_configured - state.proxies.filter((proxy) => proxy.age_ms <= OLD_MS).length;
  if (silent === state.proxies_configured) {
    return { text: "No proxy answers: what is shown of nodes and traffic is old.", level: "bad" };
  }
  const bad = state.nodes.filter((node) => nodeCondition(node).level !== "good");
  const parts = bad.map((node) => `${node.name} is ${node.state}`);
  if (silent) parts.push(`${silent} of ${state.proxies_configured} proxies do not answer`);
  for (const each of state.gatekeepers) {
    if (each.age_ms > OLD_MS) parts.push(`${each.name} is silent`);
  }
  if (!state.gatekeepers.length) parts.push("no gatekeeper has been heard yet");
  if (state.queue.problem) parts.push(`the queue does not answer (${state.queue.problem})`);
  for (const each of state.proxies) {
    if (each.inventory_problem) parts.push(`${each.name} refuses its inventory`);
  }
  if (!parts.length) return { text: `All ${state.nodes.length} nodes are up.`, level: "good" };
  const down = bad.some((node) => node.state === "down");
  return { text: `${parts.join("; ")}.`, level: down ? "bad" : "warn" };
}

// What the picture shows: its parts from the client to the nodes, and which speaks to which.
export function picture(state) {
  const item = (id, name, { text, level }, figures) => ({ id, name, state: text, level, figures });
  const total = state.gatekeepers.reduce((sum, each) => sum + each.per_s, 0);
  const clients = item("clients", "clients", { text: "HTTPS, API key", level: "" }, [rate(total)]);
  const gatekeepers = state.gatekeepers.map((each) =>
    item(`g ${each.name}`, each.name, serviceCondition(each.age_ms, each.workers), [
      rate(each.per_s),
      `refused ${rate(each.refused_per_s)}`,
    ]),
  );
  const queue = state.queue;
  const orchestrator = item("o", state.orchestrator, { text: "● answers", level: "good" }, [
    `${queue.queued} queued`,
    `${queue.busy} of ${queue.slots} slots busy`,
  ]);
  const proxies = state.proxies.map((each) => {
    const errors = Object.values(each.errors_per_s).reduce((sum, number) => sum + number, 0);
    return item(`p ${each.name}`, each.name, serviceCondition(each.age_ms), [each.engine, `errors ${rate(errors)}`]);
  });
  const nodes = state.nodes.map((node) =>
    item(`n ${node.name}`, node.name, nodeCondition(node), [
      `ping ${ms(node.ping_ms)}`,
      `${percent(node.share)} · failed ${rate(node.failures_per_s)}`,
    ]),
  );
  const asking = [...gatekeepers, orchestrator];
  const edges = [
    ...gatekeepers.map((to) => ({ from: "clients", to: to.id, share: 0.2 })),
    ...asking.flatMap((from) => proxies.map((to) => ({ from: from.id, to: to.id, share: 0.2 }))),
    ...state.nodes.flatMap((node) =>
      node.seen.map((seen) => ({ from: `p ${seen.proxy}`, to: `n ${node.name}`, share: node.share ?? 0 })),
    ),
  ];
  const tiers = [
    { title: "from", items: [clients] },
    { title: "gatekeepers, orchestrator", items: asking },
    { title: "proxies", items: proxies },
    { title: "nodes", items: nodes },
  ];
  return { tiers: tiers.filter((tier) => tier.items.length), edges };
}
