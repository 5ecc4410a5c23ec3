"""The chatglm.cn web dialect."""
