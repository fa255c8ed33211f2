//! Leyden's JSON-RPC: decoding, encoding, methods, and the command line client.
