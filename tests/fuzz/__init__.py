"""Generated and changed statements, judged by the gatekeeper and then run on a real server that judges the judge.

`python -m tests.fuzz --minutes 10 --seed N` runs it. `world` is what the server holds and what the policy allows,
`grammar` and `mutations` make statements, `server` runs them and looks at what they did, `run` counts.
"""
