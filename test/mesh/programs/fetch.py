"""Python's own HTTP clients, as anybody writes them: `fetch.py host port` prints a line for each thing that came out right."""

import http.client
import json
import sys
import urllib.error
import urllib.request

host, port = sys.argv[1], int(sys.argv[2])
base = f"http://{host}:{port}"


def check(name, right):
    if not right:
        sys.exit("wrong: " + name)
    print(name, flush=True)


with urllib.request.urlopen(f"{base}/urllib?question=in-clear") as answer:
    seen = json.load(answer)
    check("urllib GET", seen["method"] == "GET" and seen["path"] == "/urllib?question=in-clear")

request = urllib.request.Request(f"{base}/form", data=b"secret=in-clear", headers={"Authorization": "Bearer token-in-clear"})
with urllib.request.urlopen(request) as answer:
    seen = json.load(answer)
    check("urllib POST", seen["method"] == "POST" and seen["body"] == "secret=in-clear")
    check("its own Authorization", seen["headers"]["authorization"] == "Bearer token-in-clear")
    check("who calls", "x-countersign-principal" in seen["headers"])

connection = http.client.HTTPConnection(host, port, timeout=20)
for number in range(20):
    body = "in-clear" * (1 << number % 14)
    connection.request("PUT", f"/{number}", body=body, headers={"X-Number": str(number)})
    seen = json.load(connection.getresponse())
    if seen["body"] != body or seen["headers"]["x-number"] != str(number):
        sys.exit(f"wrong: request {number} of one connection")
check("one connection for many", True)


def pieces():
    for _ in range(50):
        yield b"chunk-in-clear "


connection.request("POST", "/chunked", body=pieces(), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
seen = json.load(connection.getresponse())
check("chunked", seen["body"] == "chunk-in-clear " * 50)
connection.close()

try:
    urllib.request.urlopen(f"http://{host}:{port + 1}/")
    check("another port", False)
except (urllib.error.HTTPError, http.client.HTTPException, OSError):
    check("another port is none", True)
