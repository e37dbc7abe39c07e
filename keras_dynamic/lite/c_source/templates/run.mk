# make run-m3 IMAGES="image1.bin image2.bin"
QEMU = qemu-system-arm -nographic -monitor none -serial none -icount shift=0,sleep=off
NONE =
SPACE = $(NONE) $(NONE)
COMMA = ,
ARGUMENTS = arg=classify$(subst $(SPACE),,$(foreach image,$(IMAGES),$(COMMA)arg=$(image)))
run-%: %.elf
	$(QEMU) -M $(MACHINE_$*) -semihosting-config enable=on,target=native,$(ARGUMENTS) -kernel $<

MACHINE_m3 = mps2-an385
MACHINE_m4 = mps2-an386
MACHINE_m55 = mps3-an547
