#!/bin/sh
# sh run.sh WORDS...: runs the program in QEMU; it reads and writes files of this folder by semihosting.
# MCU=m3: without an FPU; PROGRAM=yours.
mcu=${MCU:-m4f}
case $mcu in
    m3) board=mps2-an385 ;;
    *) board=mps2-an386 ;;
esac
config=enable=on,target=native,arg=model
for word; do
    config="$config,arg=$(printf %s "$word" | sed 's/,/,,/g')"
done
# -icount: the emulator's clock counts an instruction as a nanosecond, whatever else the machine does.
exec qemu-system-arm -M "$board" -kernel "build/$mcu/${PROGRAM:-main}.elf" -icount shift=0 \
    -display none -monitor none -serial none -semihosting-config "$config"
