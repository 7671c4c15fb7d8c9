"""From rows of text to typed, validated tables and prices."""
