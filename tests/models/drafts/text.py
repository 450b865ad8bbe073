"""Text: taggers, language models, translation, classification."""

import random

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class BiLstmTagger(nn.Module):
    """Words to scores of tags."""

    def __init__(self, vocab_size, tagset_size, embedding_dim, hidden_dim):
        super().__init__()
        self.word_embeds = nn.Embedding(vocab_size, embedding_dim)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim // 2, bidirectional=True, batch_first=True)
        self.hidden2tag = nn.Linear(hidden_dim, tagset_size)

    def forward(self, sentence):
        return self.hidden2tag(self.lstm(self.word_embeds(sentence))[0])


class LanguageModel(nn.Module):
    """The word language model of the examples: time first, the state by `init_hidden`."""

    def __init__(self, rnn_type, ntoken, ninp, nhid, nlayers, dropout=0.5):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnn = getattr(nn, rnn_type)(ninp, nhid, nlayers, dropout=dropout)
        self.decoder = nn.Linear(nhid, ntoken)
        self.rnn_type, self.nhid, self.nlayers = rnn_type, nhid, nlayers

    def forward(self, input, hidden):
        output, hidden = self.rnn(self.drop(self.encoder(input)), hidden)
        return self.decoder(self.drop(output)).log_softmax(-1), hidden

    def init_hidden(self, bsz):
        zeros = next(self.parameters()).new_zeros(self.nlayers, bsz, self.nhid)
        return (zeros, zeros.clone()) if self.rnn_type == "LSTM" else zeros


class SentenceClassifier(nn.Module):
    """Padded text and its lengths as a list, in falling order."""

    def __init__(self, vocab=30, dim=7, classes=3):
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim)
        self.gru = nn.GRU(dim, dim)
        self.fc = nn.Linear(dim, classes)

    def forward(self, text, text_lengths):
        assert len(text_lengths) == text.shape[1]
        packed = pack_padded_sequence(self.embedding(text), text_lengths, enforce_sorted=False)
        _, hidden = self.gru(packed)
        return self.fc(hidden[-1])


class SourceEncoder(nn.Module):
    def __init__(self, input_dim, emb_dim, hid_dim):
        super().__init__()
        self.embedding = nn.Embedding(input_dim, emb_dim)
        self.rnn = nn.GRU(emb_dim, hid_dim)

    def forward(self, src):
        return self.rnn(self.embedding(src))[1]


class TargetDecoder(nn.Module):
    def __init__(self, output_dim, emb_dim, hid_dim):
        super().__init__()
        self.embedding = nn.Embedding(output_dim, emb_dim)
        self.rnn = nn.GRU(emb_dim, hid_dim)
        self.fc_out = nn.Linear(hid_dim, output_dim)

    def forward(self, input, hidden):
        output, hidden = self.rnn(self.embedding(input.unsqueeze(0)), hidden)
        return self.fc_out(output.squeeze(0)), hidden


class Seq2Seq(nn.Module):
    """An encoder and a decoder that are handed in; sometimes it is given its own words."""

    def __init__(self, encoder: SourceEncoder, decoder: TargetDecoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, src, trg, teacher_forcing_ratio=0.5):
        hidden = self.encoder(src)
        token, steps = trg[0], []
        for t in range(1, trg.shape[0]):
            scores, hidden = self.decoder(token, hidden)
            steps.append(scores)
            forced = random.random() < teacher_forcing_ratio
            token = trg[t] if forced else scores.argmax(1)
        return torch.stack(steps)


class Attentive(nn.Module):
    """Teacher forcing with additive attention over an encoded sentence."""

    def __init__(self, src_vocab_size, tgt_vocab_size, embed_size, hidden_size):
        super().__init__()
        self.src = nn.Embedding(src_vocab_size, embed_size)
        self.tgt = nn.Embedding(tgt_vocab_size, embed_size)
        self.encoder = nn.GRU(embed_size, hidden_size, batch_first=True)
        self.cell = nn.GRUCell(embed_size + hidden_size, hidden_size)
        self.score = nn.Linear(2 * hidden_size, 1)
        self.out = nn.Linear(hidden_size, tgt_vocab_size)

    def forward(self, source, target):
        memory, h = self.encoder(self.src(source))
        h, steps = h[0], []
        for token in self.tgt(target).unbind(1):
            query = h.unsqueeze(1).expand_as(memory)
            weights = self.score(torch.tanh(torch.cat([memory, query], -1))).softmax(1)
            h = self.cell(torch.cat([token, (weights * memory).sum(1)], -1), h)
            steps.append(self.out(h))
        return torch.stack(steps, 1)


class PairReader(nn.Module):
    """A dict of two padded texts, in the style of toolkits for language."""

    def __init__(self, num_embeddings=25, embedding_dim=6, hidden_size=5):
        super().__init__()
        self.embed = nn.Embedding(num_embeddings, embedding_dim)
        self.encode = nn.LSTM(embedding_dim, hidden_size, batch_first=True, bidirectional=True)
        self.compare = nn.Linear(4 * hidden_size, 2)

    def forward(self, batch):
        a = self.encode(self.embed(batch["premise"]))[0].amax(1)
        b = self.encode(self.embed(batch["hypothesis"]))[0].amax(1)
        return {"logits": self.compare(torch.cat([a, b], -1))}


class CharWordTagger(nn.Module):
    """Characters of each word [batch, words, letters] beside the words."""

    def __init__(self, n_words, n_chars, n_tags, char_dim=4, word_dim=6, hidden=5):
        super().__init__()
        self.chars = nn.Embedding(n_chars, char_dim)
        self.words = nn.Embedding(n_words, word_dim)
        self.char_rnn = nn.GRU(char_dim, hidden, batch_first=True)
        self.word_rnn = nn.GRU(word_dim + hidden, hidden, batch_first=True)
        self.out = nn.Linear(hidden, n_tags)

    def forward(self, words, chars):
        b, n, letters = chars.shape
        spelled = self.char_rnn(self.chars(chars.view(b * n, letters)))[1][-1].view(b, n, -1)
        return self.out(self.word_rnn(torch.cat([self.words(words), spelled], -1))[0])


class PackedTagger(nn.Module):
    """Lengths as a tensor, the padding masked with a given value."""

    def __init__(self, args):
        super().__init__()
        self.embed = nn.Embedding(args.vocab_size, args.embed_dim)
        self.rnn = nn.GRU(args.embed_dim, args.hidden_size, args.num_layers, batch_first=True,
                          bidirectional=args.bidirectional)  # fmt: skip
        directions = 2 if args.bidirectional else 1
        self.out = nn.Linear(args.hidden_size * directions, args.num_classes)

    def forward(self, tokens, lengths):
        packed = pack_padded_sequence(
            self.embed(tokens), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        y, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.out(y)
