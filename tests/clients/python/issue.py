"""Issues a key, as an operator's program does."""

import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from keyward.v1 import key_admin_pb2 as pb

DEADLINE = 5  # seconds for each attempt
ATTEMPTS = 4

# Nobody knows then whether the key was issued: the reply did not come.
UNCLEAR = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def issue(stub, admin_token, **fields):
    """A new key and its token, whatever happens to a reply on the way."""
    # One id for all attempts: the server answers each of them with the same key.
    request = pb.CreateKeyRequest(request_id=str(uuid.uuid4()), **fields)
    metadata = [("authorization", f"Bearer {admin_token}")]
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return stub.CreateKey(request, timeout=DEADLINE, metadata=metadata)
        except grpc.RpcError as error:
            if error.code() not in UNCLEAR or attempt == ATTEMPTS:
                raise
            time.sleep(0.1 * 2**attempt)


def what_went_wrong(error):
    """The reason that keyward gives for an error, and the fields it is about.

    The reason is None if the error is not keyward's, but the connection's.
    """
    reason, fields = None, {}
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            reason = info.reason if info.domain == "keyward" else None
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest.FromString(detail.value)
            fields = {violation.field: violation.description for violation in bad.field_violations}
    return reason, fields
