"""The names of the records that a message may hold."""

REQUEST = "request"  # what a client is asked, scalars
ARRAYS = "arrays"  # the shared tensors: before training on the way down, after it on the way up
EXTRA = "extra"  # what the algorithm sends beside them, either way
DEPOSITS = "deposits"  # what a client keeps from one message to the next, where it lacks it
METRICS = "metrics"  # numbers of a local training
SCORES = "scores"  # numbers of an evaluation
PREVIOUS = "previous"  # what earlier stages have trained, where the server's model is sent
RESIDUAL = "residual"  # the frozen term beside the base that goes with it
ANSWERS = "answers"  # of a part of the server's test questions
FAILURE = "failure"  # why there is no reply
SITE = "site"  # who a node is
