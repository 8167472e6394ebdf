"""What an adversary can do to a judge benchmark, and how a submission that did it is recognised."""
