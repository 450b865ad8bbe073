#if defined(MODEL_VECTOR)
/* The formulas of model_sigmoidf and model_tanhf; what is no number stays none. */
MODEL_V8 model_v8 model_exponent8(model_v8 x) { return model_nearest8(model_mul8(x, model_all8(1.44269504f))); }
MODEL_V8 model_v8 model_less_one8(model_v8 x, model_v8 n)
{
    model_v8 r = model_fma8(n, model_all8(-0.693359375f), x);
    r = model_fma8(n, model_all8(2.12194440e-4f), r);
    model_v8 p = model_all8(1.9875691500e-4f);
    p = model_fma8(p, r, model_all8(1.3981999507e-3f));
    p = model_fma8(p, r, model_all8(8.3334519073e-3f));
    p = model_fma8(p, r, model_all8(4.1665795894e-2f));
    p = model_fma8(p, r, model_all8(1.6666665459e-1f));
    p = model_fma8(p, r, model_all8(5.0000001201e-1f));
    return model_fma8(p, model_mul8(r, r), r);
}
MODEL_V8 model_v8 model_sigmoid8(model_v8 x)
{
    const model_v8 one = model_all8(1.0f);
    const model_v8 c = model_min8(model_all8(88.0f), model_max8(model_all8(-87.0f), model_minus8(x)));
    const model_v8 n = model_exponent8(c), two = model_two_to8(n);
    const model_v8 e = model_fma8(two, model_less_one8(c, n), two);
    return model_div8(one, model_add8(one, e));
}
MODEL_V8 model_v8 model_tanh8(model_v8 x)
{
    const model_v8 a = model_below8(x), c = model_max8(model_all8(-40.0f), model_add8(a, a));
    const model_v8 n = model_exponent8(c), two = model_two_to8(n);
    const model_v8 rest = model_sub8(two, model_all8(1.0f));
    const model_v8 m = model_fma8(two, model_less_one8(c, n), rest);
    const model_v8 y = model_div8(m, model_add8(model_all8(2.0f), m));
    return model_signed8(y, x);
}
#endif
