"""How long a connection between two of our processes may be idle, in seconds: one rule for both of its ends.

A client sends nothing on a connection that has been idle for REUSED_WITHIN_S; a server closes none that has been idle
for less than DRAINED_AFTER_S, and does so only while it ends. So no request is ever sent on a connection that is just
being closed. The difference is for requests on their way, and for a process that has to wait for a processor.
Clients are nginx (deploy/nginx.py) and the gatekeeper (contract/peers.py), servers are contract/serving.py's.
"""

REUSED_WITHIN_S = 4.0
DRAINED_AFTER_S = 6.0
# Of a server that does not end.
KEPT_S = 75
