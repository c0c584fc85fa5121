"""Export: pictures and files made from plain data; knows no widget and no experiment."""
