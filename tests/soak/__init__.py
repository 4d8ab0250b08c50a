"""An hour of peers that come, go, stall and reset, in front of one relay: nothing is lost, and nothing is left behind."""
