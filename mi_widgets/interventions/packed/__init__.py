"""Many edited runs in one unpadded sequence: only what differs from the base run is computed again."""
