"""The console: one page for operators, and the figures that it shows. The page's files lie beside these modules."""
