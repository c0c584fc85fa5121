// Made by js/colour-maps.mjs: RGB bytes of every fifth of 256 entries per map, base64. Do not edit.
export const COLOUR_TABLES = {
  sequentialLight:
    "/////f3/+/z/+fr+9vn+9Pf+8vX+8PT+7vL97PH96u/96O795ez84+r84en83+f83eb72+T71uD70t36zdn6yNb5xNL4v8/4u8v3tsj3ssT2rcH1qb31pLr0oLbzm7Pyl6/ykqzxjqjwh6PvgJ7uepntc5TrbI/qZorpX4XnWYDmUnvlS3bjRXHiPmvgOGbfMWDdKlrbJFTaHU7Y",
  sequentialDark:
    "ERQYEhUaExccFBgfFRkhFhsjFxwmGB4oGR8qGiAtGyIvHCMxHiU0HyY2ICg5ISk7Iis+IyxAJS9EJjFJKDRNKjZSLDlWLTtbLz5fMUFkM0NpNEZtNklyOEt3Ok58PFGAPVOFP1aKQVmPRF2VR2KcS2aiTmqoUW+vVHO1WHi8W3zCXoHJYoXPZYrWaY7dbJPkcJjqc53xdqH4eqb/",
  divergingLight:
    "szgKuEEXvUkhwlEpxlkxy2A50GhB1G9I2XdP3X5W4oZd5o1l65Rs75x08aR/86yK9LSW9ryh+MSs+cy3+tTC+9zN/OTY/evj/vPu//v5+vz/8fX+6O793+f81uD7zdr6xNP5u8z4ssX2qr71obj0mbHykKrwh6Pvfp3tdZbsbI/qZInoW4LmUnvlSXTjQG3hOGbfL17cJlbaHU7Y",
  divergingDark:
    "/4pc9YVZ7IBV4npS2XVP0HBMxmtIvWZFtGFCq1w/olc8mVI4kE41h0kzfUUxc0AvaTwtXzgrVTQpTC8nQislOScjMCMhJx8eHhocFRYZExYcFhskGiEtHSY2ISs/JTBIKDZRLDtaMEFkNEZuOEx4PFKCQFiMRF2VSGOeTWmmUW+vVnW3WnvAXoHJY4fSZ43bbJPkcZntdaD2eqb/",
  viridis:
    "RAFURQpaRhJgRxhnRx9tSCR0SCp5RzB8RTZ/RDyCQUKFP0eIPU2KO1KLOViMN12MNGONMWiOMG2OLnGOLHaOKnqOKH+OJoSOJYmNI46MIpKLIZeKIJyJIqGHJqWFKaqCLa5/MbN8Nbd5Qbt0TL9vVsNqX8dkaMtdc89WgdJRjtVKmthDpto6sd0vvt8qy+Eq2OMp5OQo8eYm/ecl",
} as const;
