"""A client that connects, and has no time for its request until a file is there: `slow_client.py host port file`."""

import os
import socket
import sys
import time

host, port, file = sys.argv[1:]
with socket.create_connection((host, int(port))) as connection:
    print("connected", flush=True)
    while not os.path.exists(file):
        time.sleep(0.05)
    connection.sendall(b"GET /at-last HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host.encode())
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
print(answer.split(b"\r\n", 1)[0].decode(), flush=True)
print(answer.split(b"\r\n\r\n", 1)[1].decode(), flush=True)
