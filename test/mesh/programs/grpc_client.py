"""Debian's python3-grpcio against the server of grpc-server.ts: `grpc_client.py host:port`."""

import sys

import grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    unary = channel.unary_unary("/test.Mesh/Unary")
    chat = channel.stream_stream("/test.Mesh/Chat")
    print(unary(b"unary-in-clear", wait_for_ready=True, timeout=30).decode())
    print(b" ".join(chat((b"chat-in-clear-%d" % each for each in range(3)), timeout=30)).decode())
