"""Drives keyward from another language's gRPC: issues a key, checks it, revokes
it, and checks it again. It has no proto files: the listeners describe
themselves.

    check.py CHECK_TARGET ADMIN_TARGET    with the admin token on stdin

Needs the packages grpcio and grpcio-reflection, as tests/run installs them.
"""

import json
import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

TIMEOUT = 20  # seconds, for each call


class Service:
    """A service of one listener, called by the names of its methods."""

    def __init__(self, target, name, metadata=()):
        self.channel = grpc.insecure_channel(target)
        self.metadata = metadata
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.descriptor = pool.FindServiceByName(name)

    def call(self, method, **fields):
        method = self.descriptor.methods_by_name[method]
        call = self.channel.unary_unary(
            f"/{self.descriptor.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        request = json_format.ParseDict(fields, GetMessageClass(method.input_type)())
        return call(request, timeout=TIMEOUT, metadata=self.metadata)

    def converse(self, method, messages):
        method = self.descriptor.methods_by_name[method]
        call = self.channel.stream_stream(
            f"/{self.descriptor.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        question = GetMessageClass(method.input_type)
        asked = (json_format.ParseDict(fields, question()) for fields in messages)
        return call(asked, timeout=TIMEOUT, metadata=self.metadata)


def verdicts(check, token, scopes):
    """What a batch and a conversation answer, for each scope."""
    checks = [{"credential": f"Bearer {token}", "required_scopes": [scope]} for scope in scopes]
    batch = list(check.call("CheckBatch", checks=checks).results)
    questions = [{"id": number, "check": check} for number, check in enumerate(checks)]
    answers = {answer.id: answer.result for answer in check.converse("CheckStream", questions)}
    conversation = [answers[number] for number in range(len(checks))]
    return [
        [result.verdict.WhichOneof("outcome") for result in results]
        for results in (batch, conversation)
    ]


def verdict(check, token, scope):
    answer = check.call("Check", credential=f"Bearer {token}", required_scopes=[scope])
    return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def main():
    check_target, admin_target = sys.argv[1:]
    authorization = f"Bearer {sys.stdin.read().strip()}"
    check = Service(check_target, "keyward.v1.KeyCheck")
    admin = Service(admin_target, "keyward.v1.KeyAdmin", [("authorization", authorization)])
    stranger = Service(admin_target, "keyward.v1.KeyAdmin")

    workspace = {"id": "python-demo", "token_prefix": "klg", "environments": ["live", "test"]}
    admin.call("CreateWorkspace", workspace=workspace)
    issued = admin.call(
        "CreateKey",
        workspace="python-demo",
        principal="user:ada",
        name="from Python",
        scopes=["read:customers"],
    )
    story = [verdict(check, issued.token, "read:customers")]
    story.append(verdict(check, issued.token, "write:forms"))
    story.append(verdicts(check, issued.token, ["read:customers", "write:forms"]))
    admin.call("RevokeKey", key_id=issued.key.id, reason="REVOCATION_REASON_LEAKED")
    story.append(verdict(check, issued.token, "read:customers"))
    story.append(verdicts(check, issued.token, ["read:customers"]))
    try:
        stranger.call("ListKeys")
    except grpc.RpcError as error:
        story.append(error.code().name)
    print(json.dumps({"key_id": issued.key.id, "hint": issued.key.hint, "story": story}))


if __name__ == "__main__":
    main()
