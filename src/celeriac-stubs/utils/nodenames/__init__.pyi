# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.brokers.topology import worker_direct as worker_direct
from celeriac.compat.nodenames import anon_nodename as anon_nodename
from celeriac.compat.nodenames import default_nodename as default_nodename
from celeriac.compat.nodenames import gethostname as gethostname
from celeriac.compat.nodenames import host_format as host_format
from celeriac.compat.nodenames import node_format as node_format
from celeriac.compat.nodenames import nodename as nodename
from celeriac.compat.nodenames import nodesplit as nodesplit

__all__ = [
    "anon_nodename",
    "default_nodename",
    "gethostname",
    "host_format",
    "node_format",
    "nodename",
    "nodesplit",
    "worker_direct",
]
