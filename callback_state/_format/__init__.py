"""The bytes of a state file, read without running code.

Values become a flat table of plain data, and a table becomes values again. What a file asks for is limited, and
code in it is only opened if the user trusts the file. This wing opens no file by its name, and knows neither
Keras nor what a checkpoint is.
"""
