"""What the heads widget costs a reader, beside CircuitsVis and BertViz: `make bench-heads` writes the page."""
