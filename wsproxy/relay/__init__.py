"""The relay: listen, dial, splice, and feed what passes to the recorder."""
