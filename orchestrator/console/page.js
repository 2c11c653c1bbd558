// The console's page: asks for the state every two seconds, shows it, and says when what it shows is old.

import { draw } from "./picture.js";
import { define, fill, table } from "./tables.js";
import * as words from "./words.js";

const EVERY_MS = 2000;
const PATIENCE_MS = 5000;
const narrow = matchMedia("(max-width: 44rem)");
const at = (id) => document.getElementById(id);
const text = (name) => ({ name });
const number = (name) => ({ name, number: true });

const nodes = table(
  at("nodes"),
  "Each node as the proxies see it; rates of the last seconds, the share of clients' requests",
  [
    text("Node"), text("Role"), text("State"), text("Engine"), number("Ping"), number("Requests"), number("Share"),
    number("Failed"), number("In flight"), text("Remarks"),
  ],
  "No proxy has told of a node yet.",
);
const implementations = table(
  at("implementations"),
  "Requests that nodes answered in the last seconds, and the time that they took at the proxies",
  [text("Implementation"), number("Answered"), number("Half within"), number("95 % within"), number("99 % within")],
  "Nothing is known yet.",
);
const owners = table(
  at("queue"),
  "What has not ended, by the owner's key",
  [text("Owner"), number("Queued"), number("Running")],
  "The queue is empty.",
);
const gatekeepers = table(
  at("services"),
  "Gatekeepers, by what they told this orchestrator",
  [text("Gatekeeper"), text("State"), number("Workers"), number("Requests"), number("Refused"), number("Failed")],
  "No gatekeeper has been heard yet.",
);
const proxies = table(
  at("services"),
  "Proxies, by what they answered this orchestrator",
  [text("Proxy"), text("State"), text("Engine"), text("Tunnels"), text("Errors"), text("Inventory")],
  "No proxy has answered yet.",
);
const refusals = table(
  at("refusals"),
  "Why requests were refused in the last minutes, the latest first",
  [
    text("Last"), text("Gatekeeper"), text("Key"), text("Code"), text("Rule"), text("Statement's digest"),
    number("Times"),
  ],
  "Nothing was refused in the last minutes.",
);
const digests = table(
  at("digests"),
  "Statements by the mean time of their answers at the gatekeepers, in the last minutes; the audit log has each digest",
  [text("Statement's digest"), text("Kind"), number("Times"), number("Mean"), number("Longest")],
  "Nothing was answered in the last minutes.",
);

function put(element, wanted) {
  if (element.textContent !== wanted) element.textContent = wanted;
}

function showNodes(state) {
  fill(
    nodes,
    state.nodes.map((node) => {
      const { text: shown, level } = words.nodeCondition(node);
      const seen = node.seen.map((each) => each.status);
      const engine = [...new Set(seen.map((each) => each.engine_state))].filter(Boolean).join(", ");
      const differing = node.state === "disputed" ? node.seen.map((each) => `${each.proxy}: ${each.status.state}`) : [];
      const details = seen.map((each) => each.detail).filter(Boolean);
      const flight = seen.reduce((sum, each) => sum + each.in_flight, 0);
      return [
        node.name, node.role, [shown, level], engine || "–", words.ms(node.ping_ms), words.rate(node.per_s),
        words.percent(node.share), words.rate(node.failures_per_s), words.count(flight),
        [...differing, ...new Set(details)].join("; ") || "–",
      ];
    }),
  );
}

function showImplementations(state) {
  fill(
    implementations,
    state.implementations.map((each) => [
      each.name === "queue" ? "the queue's own" : each.name,
      words.rate(each.per_s), words.ms(each.p50_ms), words.ms(each.p95_ms), words.ms(each.p99_ms),
    ]),
  );
}

function showQueue({ queue }) {
  const ended = (name) => words.count(queue.ended[name] ?? 0);
  const known = queue.age_ms === null ? "not known" : words.ago(queue.age_ms);
  define(at("queue-figures"), {
    Queued: words.count(queue.queued),
    Running: words.count(queue.running),
    "Slots busy here": `${queue.busy} of ${queue.slots}`,
    "Done here": ended("done"),
    "Failed here": ended("failed"),
    "Dead here": ended("dead"),
    Counted: queue.problem ? `${known} (${queue.problem})` : known,
  });
  const listed = queue.owners.map((each) => [each.owner, words.count(each.queued), words.count(each.running)]);
  fill(owners, queue.more_owners ? [...listed, [`and ${queue.more_owners} more`, "", ""]] : listed);
}

function showServices(state) {
  const shown = ({ text: said, level }) => [said, level];
  fill(
    gatekeepers,
    state.gatekeepers.map((each) => [
      each.name, shown(words.serviceCondition(each.age_ms, each.workers)), words.count(each.workers),
      words.rate(each.per_s), words.rate(each.refused_per_s), words.rate(each.failed_per_s),
    ]),
  );
  fill(
    proxies,
    state.proxies.map((each) => {
      const errors = Object.entries(each.errors_per_s).map(([code, per]) => `${code} ${words.rate(per)}`);
      const inventory = each.inventory_problem ? [`✕ ${each.inventory_problem}`, "bad"] : ["● good", "good"];
      return [
        each.name, shown(words.serviceCondition(each.age_ms)), each.engine, each.tunnel,
        errors.join(", ") || "none", inventory,
      ];
    }),
  );
}

function showTold(state) {
  fill(
    refusals,
    state.refusals.map((each) => [
      words.ago(each.last_ms_ago), each.gatekeeper, each.key ?? "–",
      each.reported ? "passed, reported only" : each.code, each.rule ?? "–", each.digest ?? "–",
      words.count(each.count),
    ]),
  );
  fill(
    digests,
    state.digests.map((each) => [
      each.digest, each.kind, words.count(each.count), words.ms(each.mean_ms), words.ms(each.max_ms),
    ]),
  );
}

let last = null; // the state that is shown
let lastAt = 0; // when it came, by this page's clock
let ended = ""; // why there will be none any more

// What can't be shown throws, and counts as no answer.
function show(state) {
  showNodes(state);
  showImplementations(state);
  showQueue(state);
  showServices(state);
  showTold(state);
  const left = state.left_out ? ` ${state.left_out} requests of the last minutes found no place in the lists.` : "";
  put(
    at("foot"),
    `Told by ${state.orchestrator}. Rates are of up to ${state.over_s} s, refusals and statements of up to ` +
      `${state.told_over_s / 60} minutes.${left}`,
  );
  draw(at("picture"), words.picture(state), narrow.matches);
  last = state;
  lastAt = performance.now();
}

function age() {
  const old = !paused && last !== null && performance.now() - lastAt > words.OLD_MS;
  document.body.classList.toggle("old", old || Boolean(ended));
  const time = last ? new Date(last.at_ms).toLocaleTimeString("en-GB") : "";
  put(at("when"), last ? `${paused ? "Paused; as" : "As"} of ${time}` : "");
  if (ended) say({ text: ended, level: "bad" });
  else if (old) say({ text: `The orchestrator does not answer: this is how it was at ${time}.`, level: "bad" });
  else if (last) say(words.headline(last));
}

function say({ text: sentence, level }) {
  put(at("headline"), sentence);
  at("headline").dataset.level = level;
}

let paused = false;

async function ask() {
  if (paused || ended || document.hidden) return;
  try {
    const answer = await fetch("console/state", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.status === 401 || answer.status === 403) ended = "This session has ended: open the console anew.";
    else if (answer.ok) show(await answer.json());
  } catch {
    // Nobody answers, or not in time: `age` says so.
  }
}

async function go() {
  await ask();
  age();
  setTimeout(go, EVERY_MS);
}

at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  if (!paused) ask().then(age);
  else age();
});
narrow.addEventListener("change", () => last && draw(at("picture"), words.picture(last), narrow.matches));
document.addEventListener("visibilitychange", () => ask().then(age));
go();
