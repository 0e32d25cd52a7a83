"""What the tests have the clients of docs/clients.md do. Takes where things are
as JSON on stdin, and tells on stdout how it went."""

import json
import sys

import grpc

import gateway
import issue
from keyward.v1 import key_admin_pb2 as admin_pb
from keyward.v1 import key_check_pb2 as check_pb
from keyward.v1.key_admin_pb2_grpc import KeyAdminStub
from keyward.v1.key_check_pb2_grpc import KeyCheckStub


PATIENCE = 30  # seconds, on a machine that is busy with other tests


def main():
    given = json.load(sys.stdin)
    tls = [given["ca"], given["certificate"], given["key"]]
    checks = KeyCheckStub(gateway.connect(given["check"], *tls))
    admin = KeyAdminStub(gateway.connect(given["admin"], *tls))
    told = {}

    def decide(stub, header, scopes):
        decision = gateway.decide(stub, header, "clients", scopes, PATIENCE)
        return [decision.status, decision.who.principal if decision.who else ""]

    def refused(stub, admin_token, **fields):
        try:
            issue.issue(stub, admin_token, **fields)
        except grpc.RpcError as error:
            return [error.code().name, *issue.what_went_wrong(error)]

    key = {"workspace": "clients", "principal": "user:ada", "name": "story", "scopes": ["a:read"]}
    issued = issue.issue(admin, given["token"], **key)
    header = f"Bearer {issued.token}"
    told["allowed"] = decide(checks, header, ["a:read"])
    told["scope"] = decide(checks, header, ["a:write"])
    told["none"] = decide(checks, None, [])
    told["long"] = decide(checks, "x" * 2_000_000, [])
    told["unknown outcome"] = gateway.act_on(check_pb.CheckResponse()).status
    nobody = KeyCheckStub(gateway.connect(given["nobody"], *tls))
    told["nobody there"] = decide(nobody, header, [])
    if given["ca"]:
        stranger = KeyCheckStub(gateway.connect(given["check"], given["ca"]))
        told["no certificate"] = decide(stranger, header, ["a:read"])
        outsider = KeyAdminStub(gateway.connect(given["admin"], given["ca"]))
        told["no operator's certificate"] = refused(outsider, given["token"], **key)[1:]
    told["typo"] = refused(admin, given["token"], **{**key, "scopes": ["a:raed"]})
    told["no admin"] = refused(admin, issued.token, **key)
    revocation = admin_pb.RevokeKeyRequest(key_id=issued.key.id)
    metadata = [("authorization", f"Bearer {given['token']}")]
    admin.RevokeKey(revocation, timeout=PATIENCE, metadata=metadata)
    told["revoked"] = decide(checks, header, ["a:read"])
    print(json.dumps(told))


if __name__ == "__main__":
    main()
