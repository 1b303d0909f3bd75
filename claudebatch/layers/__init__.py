"""The layers around the client, one failure mode each. No layer knows another; `stack.build_stack` nests them."""
