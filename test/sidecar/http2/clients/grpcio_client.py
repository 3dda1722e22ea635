"""Calls test.Echo with Debian's python3-grpcio; prints a line for each thing that came out right, fails at the first that did not."""

import sys
import threading

import grpc

channel = grpc.insecure_channel(
    sys.argv[1], options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
)
echo = channel.unary_unary("/test.Echo/Echo")
fail = channel.unary_unary("/test.Echo/Fail")
wait = channel.unary_unary("/test.Echo/Wait")
repeat = channel.unary_stream("/test.Echo/Repeat")
join = channel.stream_unary("/test.Echo/Join")
chat = channel.stream_stream("/test.Echo/Echo")


def check(name, right):
    if not right:
        sys.exit("wrong: " + name)
    print(name, flush=True)


def code_of(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return None


check("unary", echo(b"hello") == b"hello" and echo(b"") == b"")
large = bytes(range(251)) * 33_000
check("large", echo(large) == large)
futures = [echo.future(b"%d" % i) for i in range(500)]
check("many", [future.result() for future in futures] == [b"%d" % i for i in range(500)])
check("failure", code_of(fail, b"x") == (grpc.StatusCode.NOT_FOUND, "no such thing"))
check("server streaming", list(repeat(b"again")) == [b"again"] * 3)
check("client streaming", join(iter([b"one ", b"two ", b"three"])) == b"one two three")
answers = chat(b"%d" % i for i in range(200))
initial = dict(answers.initial_metadata())
check("bidirectional streaming", list(answers) == [b"%d" % i for i in range(200)])
check("metadata", initial["x-initial"] == "metadata" and dict(answers.trailing_metadata())["x-final"] == "metadata")
check("deadline", code_of(wait, b"x", timeout=0.2)[0] == grpc.StatusCode.DEADLINE_EXCEEDED)
pending = wait.future(b"x")
threading.Timer(0.1, pending.cancel).start()
try:
    pending.result()
    check("cancellation", False)
except grpc.FutureCancelledError:
    check("cancellation", pending.code() == grpc.StatusCode.CANCELLED)
channel.close()
