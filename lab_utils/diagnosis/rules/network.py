"""Ports, addresses, TLS, restricted endpoints, and clients that find nobody."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "network.port-taken",
        r"Socket '[^']*?(?P<port>\d+)' already in use|(?::(?P<port2>\d+)[^\n]*)?Address already in "
        r"use|EADDRINUSE",
        "Port {port} is taken: two programs cannot listen on one port.",
        "Leave the port options out (free ports are then chosen), choose others, or end the program that "
        "holds port {port} (`ss -ltnp`).",
        "error: failed to start HTTP service: Unavailable - Socket '0.0.0.0:8000' already in use",
    ),
    rule(
        "network.port-allocated",
        r"Bind for \S*?:(?P<port>\d+) failed: port is already allocated|ports are not "
        r"available[^\n]*?:(?P<port2>\d+)",
        "Docker cannot publish port {port}: another container or program has it.",
        "End the other container (`docker ps`), or publish another port: -p 18000:8000.",
        "docker: Error response from daemon: Bind for 0.0.0.0:8000 failed: port is already allocated.",
    ),
    rule(
        "network.port-range",
        r"The server cannot listen to (?P<what>[^\n]*?)(?: at port (?P<port>\S+))?, allowed port range is",
        "A port option is not a port number: {what} {port}.",
        "Ports are 0 to 65535.",
        "The server cannot listen to HTTP requests at port 99999, allowed port range is [0, 65535]",
    ),
    rule(
        "network.address",
        r"(?:Cannot assign requested address|EADDRNOTAVAIL|Name or service not known|No address "
        r"associated with hostname|nodename nor servname)",
        "An address is used that this machine does not have or cannot resolve.",
        "Check --http-address and --grpc-address (0.0.0.0 or 127.0.0.1), or the host name that the "
        "client uses.",
        "Unavailable - Cannot assign requested address",
    ),
    rule(
        "network.low-port",
        r"(?:bind|listen|Socket)[^\n]*Permission denied",
        "The server's user may not listen on that port: ports below 1024 need a right of their own.",
        "Use a port above 1023.",
        "bind to 0.0.0.0:80 failed: Permission denied",
    ),
    rule(
        "network.tls-files",
        r"(?:[Ff]ailed to (?:read|load|open)|Invalid|Could not load)[^\n]*(?:certificate|cert|private "
        r"key|PEM|pem|server\.key|server\.crt)[^\n]*|Conversion from PEM string to|use-ssl",
        "The TLS files of the server cannot be used: a path is wrong, or a file is no PEM certificate or "
        "key.",
        "Check --grpc-server-cert, --grpc-server-key and --grpc-root-cert.",
        "E0000 ssl_utils.cc: Invalid private key. Conversion from PEM string to EVP_PKEY failed.",
    ),
    rule(
        "network.tls-mix",
        r"(?:SSL routines|wrong version "
        r"number|WRONG_VERSION_NUMBER|CERTIFICATE_VERIFY_FAILED|SSL_ERROR_SSL|handshake "
        r"failed|certificate verify failed)",
        "Client and server do not agree on TLS: one of them speaks plain text, or the client does not "
        "trust the certificate.",
        "Use ssl=True with the server's root certificate, or none on both sides.",
        "Ssl handshake failed: SSL_ERROR_SSL: error:1408F10B:SSL routines:wrong version number",
    ),
    rule(
        "network.restricted",
        r"This (?:API|protocol) is restricted, expecting header '(?P<header>[^']*)'",
        "This part of the server is closed: it wants the header `{header}` with a key.",
        "Send that header (headers={{...}}), as the server's administrator set it. For a server of the labs, "
        "closed where users share a machine, `server.headers` holds it and `triton-lab key` prints it.",
        "This API is restricted, expecting header 'triton-key'",
    ),
    rule(
        "network.url-scheme",
        r"url should not include the scheme",
        "tritonclient was given a URL with http:// or grpc:// in front.",
        "Give host:port alone, for example localhost:8000; ssl=True takes the place of https.",
        "InferenceServerException: url should not include the scheme",
    ),
    rule(
        "network.client-threads",
        r"[Cc]annot switch to a different thread|greenlet\.error|operation on destroyed loop",
        "One tritonclient.http client is used by several threads; its connections belong to the thread "
        "that made them.",
        "Make one client per thread (a check calls your function in a thread of its own: make the client "
        "inside it), or use tritonclient.grpc or tritonclient.http.aio.",
        "greenlet.error: Cannot switch to a different thread",
    ),
    rule(
        "network.http-to-grpc",
        r"Trying to connect an http1\.x server|Received HTTP/0\.9|http2[^\n]*(?:preface|frame)|Failed "
        r"parsing HTTP/2|BadStatusLine",
        "The client speaks gRPC to the HTTP port, or HTTP to the gRPC port.",
        "HTTP is 8000 and gRPC 8001 by default; tritonclient.grpc wants host:port of gRPC, without http://.",
        "[StatusCode.UNAVAILABLE] failed to connect to all addresses; last error: Trying to connect an "
        "http1.x server",
    ),
    rule(
        "network.refused",
        r"(?:[Ff]ailed to connect to all addresses|Connection refused|ConnectionRefusedError|Failed to "
        r"connect to remote host|Connection reset by peer|Socket closed|Connection aborted)",
        "Nobody answers at that address: the server is not running, still starting, ended, or listens on "
        "another port or interface.",
        "Look whether it runs and which ports its log names; from outside a container the port must be "
        "published.",
        "[StatusCode.UNAVAILABLE] failed to connect to all addresses; last error: UNKNOWN: "
        "ipv4:127.0.0.1:8001: Failed to connect to remote host: Connection refused",
    ),
    rule(
        "network.message-size",
        r"(?:Received|Sent) message larger than max \((?P<have>\d+) vs\.? (?P<most>\d+)\)|exceeds gRPC's "
        r"byte size limit|RESOURCE_EXHAUSTED[^\n]*larger than max",
        "A gRPC message is larger than the limit {have} {most}.",
        "Raise grpc.max_receive_message_length of the channel, send smaller batches, or use shared memory.",
        "[StatusCode.RESOURCE_EXHAUSTED] Received message larger than max (5242880 vs. 4194304)",
    ),
    rule(
        "network.http-limit",
        r"(?:HTTP request body size exceeds|Request JSON nesting "
        r"depth|max_input_size|http-max-input-size)[^\n]*",
        "The HTTP request is larger than the server accepts.",
        "Raise --http-max-input-size, send binary data, or use smaller batches.",
        "HTTP request body size exceeds the maximum allowed input size of 67108864 bytes. Use "
        "--http-max-input-size to increase the limit.",
    ),
)
