"""One version of the service `order`, as a gRPC server that answers every call with its version.

    server.py VERSION      prints `port N` when it serves
"""

import sys
from concurrent import futures

import grpc


def main():
    version = sys.argv[1].encode()
    which = grpc.unary_unary_rpc_method_handler(lambda request, context: version)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("order.Order", {"Which": which})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"port {port}", flush=True)
    server.wait_for_termination()


main()
