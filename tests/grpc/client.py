"""A gRPC client that calls continuously and prints the number of answers of each version.

    client.py TARGET CALLS      prints JSON, one line for each CALLS: {"v1": 140, "v2": 60, "failed": 0, "error": null}

GRPC_XDS_BOOTSTRAP names its xDS server.
"""

import json
import sys
from collections import Counter

import grpc

# Clients must not be able to choose a version by these headers.
FORGED = [("x-tidegate-version", "v2"), ("x-tidegate-bucket", "0")]


def batch(which, calls):
    """The answers to sequential calls."""
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
            print(json.dumps(batch(which, calls)), flush=True)


main()
