"""Generated and changed statements, judged by the gatekeeper and then run on a real server that judges the judge.

`python -m tests.fuzz --minutes 10 --seed N --server WHERE` runs it. `world` is what the server holds and what the
policy allows; `grammar`, `features`, `definitions` and `mutations` make statements; `programs` finds servers and
`instance` runs one; `server` runs statements there and looks at what they did, with `shapes` for definitions, `known`
for what servers refuse too much, and `influence` for what they rightly refuse; `run` counts.
"""
