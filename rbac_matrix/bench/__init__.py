"""What the judges' speed is measured beside, and the table that shows it."""
