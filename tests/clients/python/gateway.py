"""Asks keyward about the header of a request, as a gateway does."""

import json
from typing import NamedTuple

import grpc

from keyward.v1 import key_check_pb2 as pb

DEADLINE = 0.5  # seconds for a check, all attempts included

# A check changes nothing: it can be asked again at once.
RETRIES = {
    "methodConfig": [
        {
            "name": [{"service": "keyward.v1.KeyCheck"}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.02s",
                "maxBackoff": "0.2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


def connect(target, ca=None, certificate=None, key=None):
    """A channel to "host:port", to be kept for as long as the process lives.

    It connects again by itself. Without a CA, nothing is encrypted.
    """
    options = [("grpc.service_config", json.dumps(RETRIES))]
    if ca is None:
        return grpc.insecure_channel(target, options)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=read(ca),
        private_key=key and read(key),
        certificate_chain=certificate and read(certificate),
    )
    return grpc.secure_channel(target, credentials, options)


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Decision(NamedTuple):
    """What to do with the request, and what to note of it."""

    status: int  # 200: pass it on; else what to answer with
    who: pb.Allowed | None
    log: str


def decide(stub, header, workspace, scopes, deadline=DEADLINE):
    """Whether a request with this header may pass."""
    request = pb.CheckRequest(
        # As it came, but no longer than what can be good.
        credential=(header or "")[:1025],
        workspace=workspace,
        required_scopes=scopes,
    )
    try:
        response = stub.Check(request, timeout=deadline)
    except grpc.RpcError as error:
        # There is no verdict. It is no denial, and must not look like one.
        return Decision(503, None, f"could not decide: {error.code().name}")
    return act_on(response)


def act_on(response):
    """What a verdict means."""
    match response.WhichOneof("outcome"):
        case "allowed":
            return Decision(200, response.allowed, response.allowed.key_id)
        case "denied":
            denied = response.denied
            # For the log alone: the client is told the status and no more.
            return Decision(denied.http_status, None, f"denied: {reason(denied)} {denied.key_id}")
        case _:
            # A newer keyward has an outcome that is not known here.
            return Decision(403, None, "denied: unknown outcome")


def reason(denied):
    """The name of the reason; its number, if it is newer than this program."""
    known = pb.DenialReason.DESCRIPTOR.values_by_number.get(denied.reason)
    return known.name if known else str(denied.reason)
