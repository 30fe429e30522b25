"""Official archives: what lies at a path, records in any official form, and records made of rows again."""
