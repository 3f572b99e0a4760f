"""The rules: tables of records, one a torch name, and what they are made of."""
