"""What passes through a network namespace: `capture.py file` writes every frame, its length before it, until SIGTERM.

Then it says how many frames it has, and how many the kernel had to drop.
"""

import select
import signal
import socket
import struct
import sys

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
SOL_PACKET = 263
PACKET_STATISTICS = 6
LARGEST = 1 << 18

frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
frames.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
frames.setblocking(False)
wake, end = socket.socketpair()
end.setblocking(False)
signal.set_wakeup_fd(end.fileno(), warn_on_full_buffer=False)
signal.signal(signal.SIGTERM, lambda *_: None)

with open(sys.argv[1], "wb") as file:

    def take():
        while True:
            try:
                frame = frames.recv(LARGEST)
            except BlockingIOError:
                return
            file.write(struct.pack("!I", len(frame)) + frame)

    print("capturing", flush=True)
    while wake not in select.select([frames, wake], [], [])[0]:
        take()
    take()

seen, dropped = struct.unpack("II", frames.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
print(f"seen {seen} dropped {dropped}", flush=True)
