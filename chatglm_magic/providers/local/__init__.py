"""The local model: weights from pip, llama.cpp in a child process."""
