class L(list):
    in_graph = True

    def __call__(self, ids, scores, cur_len=None):
        return scores


def get_logits_processor(config, prompt_length, **kw):
    return L()
