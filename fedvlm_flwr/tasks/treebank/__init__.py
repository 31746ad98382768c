"""Penn Treebank tokens, as the COCO caption evaluation makes them."""
