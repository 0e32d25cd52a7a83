"""Calls keyward without a pause, in many ways at once, and notes each call that
fails. Takes where things are as JSON in the first line of stdin, says on stdout
when all have been answered once, and in the end how it went.

It ends when stdin does. If it is to work until the server has gone, it ends when
nothing can be reached any more; to find that is no failure.
"""

import itertools
import json
import queue
import sys
import threading

import grpc

from keyward.v1 import key_admin_pb2 as admin_pb
from keyward.v1 import key_check_pb2 as check_pb
from keyward.v1.key_admin_pb2_grpc import KeyAdminStub
from keyward.v1.key_check_pb2_grpc import KeyCheckStub

PATIENCE = 30  # seconds, on a machine that is busy with other tests
CALLS = 5  # by a client that comes and goes
AHEAD = 20  # questions of a conversation that have no answer yet

given = json.loads(sys.stdin.readline())
metadata = [("authorization", f"Bearer {given['token']}")]
question = check_pb.CheckRequest(credential=given["header"], required_scopes=["a"])
ending = threading.Event()
told = {"failures": [], "revoked": [], "issued": []}
counted = {}
identities = itertools.cycle(given["identities"] or [None])


def read(path):
    with open(path, "rb") as file:
        return file.read()


def connect(target):
    # Each has a connection of its own. What fails is not tried again, unless the
    # server goes: it says then which calls it has not looked at.
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", int(given["until_gone"])),
    ]
    identity = next(identities)
    if identity is None:
        return grpc.insecure_channel(target, options)
    certificate, key = identity
    credentials = grpc.ssl_channel_credentials(read(given["ca"]), read(key), read(certificate))
    return grpc.secure_channel(target, credentials, options)


def check(stub):
    answer = stub.Check(question, timeout=PATIENCE)
    assert answer.WhichOneof("outcome") == "allowed", answer


def list_keys(stub):
    request = admin_pb.ListKeysRequest(page_size=10)
    assert stub.ListKeys(request, timeout=PATIENCE, metadata=metadata).keys


def operate(stub):
    """Issues two keys, and revokes one of them."""
    for _ in range(2):
        request = admin_pb.CreateKeyRequest(
            workspace="w", principal="user:ada", name="load", scopes=["a"]
        )
        issued = stub.CreateKey(request, timeout=PATIENCE, metadata=metadata)
        told["issued"].append(issued.token)
    # Whether it is revoked is not known until the answer comes.
    told["issued"].remove(issued.token)
    revocation = admin_pb.RevokeKeyRequest(key_id=issued.key.id)
    stub.RevokeKey(revocation, timeout=PATIENCE, metadata=metadata)
    told["revoked"].append(issued.token)


def stay(name, stub, target, call):
    with connect(target) as channel:
        own = stub(channel)
        while not ending.is_set():
            call(own)
            counted[name] += 1


def come_and_go(name, stub, target, call):
    while not ending.is_set():
        with connect(target) as channel:
            own = stub(channel)
            for _ in range(CALLS):
                call(own)
            counted[name] += 1


def converse(name, _stub, target, _call):
    """Keeps a conversation going. The server may end it, but leaves out nothing
    that it has answered."""
    asked = queue.Queue()
    for number in range(AHEAD):
        asked.put(number)
    questions = (
        check_pb.CheckStreamRequest(id=number, check=question)
        for number in iter(asked.get, None)
    )
    with connect(target) as channel:
        answers = KeyCheckStub(channel).CheckStream(questions)
        for number, answer in enumerate(answers):
            assert answer.id == number, (answer.id, number)
            assert answer.result.verdict.WhichOneof("outcome") == "allowed", answer
            counted[name] += 1
            asked.put(None if ending.is_set() else number + AHEAD)
        asked.put(None)
        assert answers.code() == grpc.StatusCode.OK, answers
        assert given["until_gone"] or ending.is_set(), "the conversation was ended"


def run(work, name, *arguments):
    try:
        work(name, *arguments)
    except grpc.RpcError as error:
        # No connection could be had, so that nothing was asked.
        gone = error.code() == grpc.StatusCode.UNAVAILABLE and "failed to connect" in error.details()
        if not (gone and given["until_gone"]):
            told["failures"].append(f"{name}: {error!r}")
    except Exception as error:
        told["failures"].append(f"{name}: {error!r}")


def main():
    gateway = (KeyCheckStub, given["check"], check)
    reader = (KeyAdminStub, given["admin"], list_keys)
    operator = (KeyAdminStub, given["admin"], operate)
    works = [
        ("checks", stay, gateway),
        ("checks again", stay, gateway),
        ("gateways", come_and_go, gateway),
        ("other gateways", come_and_go, gateway),
        ("reads", stay, reader),
        ("readers", come_and_go, reader),
        ("answers", converse, gateway),
        ("other answers", converse, gateway),
    ]
    if given["until_gone"]:
        works += [(f"operator {number}", stay, operator) for number in range(4)]
    threads = []
    for name, work, arguments in works:
        counted[name] = 0
        threads.append(threading.Thread(target=run, args=(work, name, *arguments)))
    for thread in threads:
        thread.start()
    while not all(counted.values()) and not told["failures"]:
        ending.wait(0.01)
    print("started", flush=True)
    if not given["until_gone"]:
        sys.stdin.read()
        ending.set()
    for thread in threads:
        thread.join()
    print(json.dumps(told | {"counted": counted}), flush=True)


if __name__ == "__main__":
    main()
