"""What the tables are: columns, spaces, schedules, data sets and closed cost formulas. Knows no other part of natsdb."""
