"""Real index servers on loopback, for tests and benchmarks: fetched once, started from here, ended by pid.

releases      which servers, and the sums of their archives
fetch         brings them into the cache: `python -m tests.servers.fetch`
java          finds a Java for each of them
settings      their configuration files, as values
certificates  a certificate authority and the server's certificate
server        one server, or one cluster, as a context
run           starts one by hand: `python -m tests.servers.run opensearch-3.4.0`
proxy         a line to a server that breaks in the way one asks for
plugin        fixtures and the marker `servers`
"""
