"""CompressAI's networks behind the codec interface."""
