"""A mail server that keeps nothing, on the ports given: it speaks first, as SMTP has it (RFC 5321)."""

import socketserver
import sys
import threading


class Session(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.say("220 mail-in-clear ESMTP")
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"QUIT":
                self.say("221 bye-in-clear")
                return
            if word == b"DATA":
                self.say("354 go on")
                taken = 0
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    taken += len(line)
                self.say(f"250 took {taken} bytes in-clear")
            else:
                self.say("250 fine-in-clear")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


for port in sys.argv[1:]:
    threading.Thread(target=Server(("127.0.0.1", int(port)), Session).serve_forever).start()
