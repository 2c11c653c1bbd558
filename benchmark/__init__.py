"""`make bench`: the whole path measured beside its peers and its limit, interleaved in one run on a local cluster."""
