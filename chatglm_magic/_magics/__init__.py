"""%chatglm and %%chatglm: all that stands between a cell and a conversation."""
