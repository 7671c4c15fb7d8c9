"""From the public site of Vitibrasil to the raw zone: bytes as received, tables as text."""
