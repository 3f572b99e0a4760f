from keras import ops


class M:
    in_graph = True


class C(list):
    in_graph = True

    def __call__(self, ids, scores, cur_len=None):
        n = ids.shape[1] if cur_len is None else cur_len
        done = ops.broadcast_to(ops.convert_to_tensor(n) >= self.m, (ops.shape(ids)[0],))
        if self.eos is not None:
            last = ops.take(ids, n - 1, axis=1)
            done = ops.logical_or(done, last == self.eos)
        return done


def get_stopping_criteria(config, stopping_criteria=None, tokenizer=None):
    c = C()
    c.m = config.max_length
    c.eos = config.eos_token_id
    return c
