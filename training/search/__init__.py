"""The weight-sharing searches of NATS-Bench: one supernet, trained once, in place of thousands of networks."""
