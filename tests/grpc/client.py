"""A gRPC client that calls without a pause, and says after every so many calls who answered them.

    client.py TARGET CALLS      prints JSON, one line for each CALLS: {"v1": 140, "v2": 60, "failed": 0, "error": null}

GRPC_XDS_BOOTSTRAP names its xDS server.
"""

import json
import sys
from collections import Counter

import grpc

# What a caller must not choose by.
FORGED = [("x-tidegate-version", "v2"), ("x-tidegate-bucket", "0")]


def window(which, calls):
    """What became of so many calls, one after the other."""
    answers, error = Counter(failed=0), None
    for _ in range(calls):
        try:
            answers[which(b"", timeout=15, metadata=FORGED).decode()] += 1
        except grpc.RpcError as failure:
            answers["failed"] += 1
            error = f"{failure.code()}: {failure.details()}"
    return {**answers, "error": error}


def main():
    target, calls = sys.argv[1], int(sys.argv[2])
    with grpc.insecure_channel(target) as channel:
        which = channel.unary_unary("/order.Order/Which")
        while True:
            print(json.dumps(window(which, calls)), flush=True)


main()
