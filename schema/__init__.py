"""What the tables are: columns, spaces, schedules, data sets, closed cost formulas. Knows no other part of natsdb."""
